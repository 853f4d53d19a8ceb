//! The conformance suite over every store and mode.

use headwater_testkit::conformance::{Postgres, SqliteFile, SqliteMemory};

headwater_testkit::conformance!(sqlite_file, SqliteFile::fresh);
headwater_testkit::conformance!(sqlite_memory, SqliteMemory::fresh);
headwater_testkit::conformance!(postgres, Postgres::fresh);
headwater_testkit::conformance!(postgres_in_another_schema, Postgres::fresh_in_other_schema);
headwater_testkit::conformance!(postgres_behind_a_pooler, Postgres::fresh_behind_a_pooler);
