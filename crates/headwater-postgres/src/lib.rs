//! The log, checkpoints and read models in PostgreSQL.
