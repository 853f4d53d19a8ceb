//! The schema of Headwater's stores: numbered SQL files, embedded in the binary.
//!
//! Files are append-only: a released one never changes. A change to a file in `functions/` comes
//! with a new number, since functions are applied after the migrations of the same run.
//!
//! This crate is an inner room of the house: only the API of the crate `headwater` is stable.

/// One step of the schema, applied once and in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number: 1, 2, 3 ... without holes.
    pub number: u32,
    /// The file's name without its ending.
    pub name: &'static str,
    /// The statements; in those for PostgreSQL `{schema}` stands for the schema's name.
    pub sql: &'static str,
}

macro_rules! migrations {
    ($folder:literal: $($number:literal $name:literal),+ $(,)?) => {
        &[$(Migration {
            number: $number,
            name: $name,
            sql: include_str!(concat!("../", $folder, "/", $name, ".sql")),
        }),+]
    };
}

/// The schema of the log in PostgreSQL.
pub const POSTGRES: &[Migration] = migrations!(
    "postgres": 1 "0001_log", 2 "0002_checkpoints", 3 "0003_settled", 4 "0004_groups",
    5 "0005_snapshots", 6 "0006_append", 7 "0007_streams", 8 "0008_compression", 9 "0009_projections", 10 "0010_inline", 11 "0011_error_codes", 12 "0012_subscriptions",
    13 "0013_skips", 14 "0014_verifying"
);

/// The functions of the log in PostgreSQL, each a `create or replace`.
pub const POSTGRES_FUNCTIONS: &[&str] = &[
    include_str!("../postgres/functions/append.sql"),
    include_str!("../postgres/functions/ceiling.sql"),
    include_str!("../postgres/functions/held_streams.sql"),
    include_str!("../postgres/functions/newest.sql"),
    include_str!("../postgres/functions/publish_settled.sql"),
];

/// The schema of the log in SQLite.
pub const SQLITE: &[Migration] = migrations!(
    "sqlite": 1 "0001_log", 2 "0002_checkpoints", 3 "0003_snapshots", 4 "0004_streams", 5 "0005_projections", 6 "0006_inline", 7 "0007_error_codes", 8 "0008_subscriptions",
    9 "0009_skips", 10 "0010_verifying"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_holes_and_stand_in_the_names() {
        for migrations in [POSTGRES, SQLITE] {
            for (migration, number) in migrations.iter().zip(1..) {
                assert_eq!(migration.number, number);
                assert!(migration.name.starts_with(&format!("{number:04}_")));
                assert!(migration.sql.starts_with("-- "), "{} states no purpose", migration.name);
            }
        }
    }
}
