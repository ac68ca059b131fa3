// Runs once, on an empty database: creates a user that may read and write the converto database only.
db.getSiblingDB(process.env.MONGO_INITDB_DATABASE).createUser({
  user: "converto",
  pwd: process.env.MONGODB_PASSWORD,
  roles: [{ role: "readWrite", db: process.env.MONGO_INITDB_DATABASE }],
});
