// Runs once, when the database is empty: a user for converto that may read and write its own database and nothing else.
db.getSiblingDB(process.env.MONGO_INITDB_DATABASE).createUser({
  user: "converto",
  pwd: process.env.MONGODB_PASSWORD,
  roles: [{ role: "readWrite", db: process.env.MONGO_INITDB_DATABASE }],
});
