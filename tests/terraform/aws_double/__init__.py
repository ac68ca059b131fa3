"""AWS on this machine: moto's server, with what it lacks, and with IAM policies evaluated whole."""
