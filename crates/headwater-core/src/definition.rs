//! What a projection reads and makes, and whether the code that built a generation is this code.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{Column, Error, EventType, Result, Table, limits, partition};

/// What a projection makes, and what tells its code from other code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The name of the projection.
    pub name: String,
    /// The tables.
    pub tables: Vec<TableDefinition>,
    /// Tells generations apart that other code built: a line for its version, one for each type of
    /// event that it reads, an empty one, then the tables.
    pub fingerprint: String,
    /// How many parts of it have a checkpoint of their own; 1 where it has one for all.
    pub partitions: u32,
}

/// How a table of a generation is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableDefinition {
    /// From typed columns.
    Columns(Table),
    /// By the user's own statement, in which `{name}` stands for the table.
    Sql {
        /// The name under which users query the table.
        name: String,
        /// A `create table {name} (...)` that both databases understand.
        create: String,
    },
}

impl TableDefinition {
    /// The name under which users query the table.
    pub fn name(&self) -> &str {
        match self {
            Self::Columns(table) => table.name,
            Self::Sql { name, .. } => name,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Columns(table) => {
                let columns: Vec<_> = table.columns.iter().map(describe).collect();
                format!("{}({})", table.name, columns.join(", "))
            }
            Self::Sql { create, .. } => create.clone(),
        }
    }
}

/// The code that built a generation, as seen by a [`Definition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuiltBy {
    /// Code with the same definition.
    SameCode,
    /// Code of a higher version, or that reads types of event which this code does not know.
    NewerCode,
    /// Code that differs in one thing: it passed these types of event over, each a category and a
    /// name.
    CodeWithout(Vec<(String, String)>),
    /// Code of a lower version, or that made other tables.
    OtherCode,
}

impl Definition {
    /// The definition of a projection from `types` into `tables`; `version` is the user's count of
    /// code changes.
    pub fn new<'a>(
        name: &str,
        version: u32,
        types: impl IntoIterator<Item = &'a EventType>,
        tables: Vec<TableDefinition>,
    ) -> Self {
        let line = |t: &EventType| format!("{}\t{}\n", t.category, t.name);
        let types: BTreeSet<_> = types.into_iter().map(line).collect();
        let tables_as_text: Vec<_> = tables.iter().map(TableDefinition::describe).collect();
        let fingerprint = [
            format!("v{version}\n"),
            types.into_iter().collect(),
            "\n".into(),
            tables_as_text.join("\n"),
        ]
        .concat();
        Self { name: name.into(), tables, fingerprint, partitions: 1 }
    }

    /// The same in so many partitions: a read model of another number of them is built anew.
    #[must_use]
    pub fn partitioned(mut self, partitions: u32) -> Self {
        self.partitions = partitions.max(1);
        if self.partitions > 1 {
            self.fingerprint.push_str(&format!("\nin {} partitions", self.partitions));
        }
        self
    }

    /// The definition of one of its partitions.
    #[must_use]
    pub fn of_partition(&self, partition: u32) -> Self {
        Self { name: partition::unit(&self.name, partition), ..self.clone() }
    }

    /// The names of its partitions.
    pub fn units(&self) -> impl Iterator<Item = String> {
        (0..self.partitions).map(|partition| partition::unit(&self.name, partition))
    }

    /// A short name of the fingerprint.
    pub fn id(&self) -> Uuid {
        Self::id_of(partition::projection_of(&self.name), &self.fingerprint)
    }

    /// The short name of a fingerprint of this projection.
    pub fn id_of(projection: &str, fingerprint: &str) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{projection}\n{fingerprint}").as_bytes())
    }

    /// Which code built the generation with this fingerprint.
    pub fn built_by(&self, fingerprint: &str) -> BuiltBy {
        Self::compare(&self.fingerprint, fingerprint)
    }

    /// Which code, seen from the code with the fingerprint `own`, built the generation with the fingerprint `found`.
    pub fn compare(own: &str, found: &str) -> BuiltBy {
        if found == own {
            return BuiltBy::SameCode;
        }
        let (Some(own), Some(found)) = (parse(own), parse(found)) else {
            return BuiltBy::OtherCode;
        };
        if own.version < found.version {
            return BuiltBy::NewerCode;
        }
        if (own.version, own.tables) != (found.version, found.tables) {
            return BuiltBy::OtherCode;
        }
        if own.types.is_subset(&found.types) {
            return BuiltBy::NewerCode;
        }
        if !own.types.is_superset(&found.types) {
            return BuiltBy::OtherCode;
        }
        let passed_over = own.types.difference(&found.types);
        BuiltBy::CodeWithout(passed_over.map(|&(c, n)| (c.to_owned(), n.to_owned())).collect())
    }

    /// Checks the names of the projection, its tables and its columns.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] where one is not a plain lower-case identifier, or a table has the
    /// name of one of Headwater's own or ends like a generation (`sales__2`): give another name.
    pub fn check(&self) -> Result<()> {
        limits::check_identifier("projection", &self.name)?;
        for table in &self.tables {
            limits::check_identifier("table", table.name())?;
            if RESERVED.contains(&table.name()) {
                let reason = "a table or view of Headwater's own has it";
                return Err(Error::invalid_name("table", table.name(), reason));
            }
            let ending = table.name().rsplit_once("__").map(|(_, ending)| ending);
            if ending.is_some_and(|e| !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit())) {
                let reason = "it ends like the name of a generation";
                return Err(Error::invalid_name("table", table.name(), reason));
            }
            if let TableDefinition::Columns(table) = table {
                for column in &table.columns {
                    limits::check_identifier("column", column.name)?;
                }
            }
        }
        Ok(())
    }
}

/// What lies in the schema beside the read models.
const RESERVED: [&str; 19] = [
    "streams",
    "events",
    "snapshots",
    "checkpoints",
    "identity",
    "inline_projections",
    "instances",
    "leases",
    "operations",
    "parked",
    "migrations",
    "settled",
    "subscriptions",
    "all_events",
    "all_checkpoints",
    "all_leases",
    "all_operations",
    "all_parked",
    "all_subscriptions",
];

/// A fingerprint in its parts.
struct Parts<'a> {
    version: u32,
    types: BTreeSet<(&'a str, &'a str)>,
    tables: &'a str,
}

/// Takes a fingerprint apart; `None` for one that [`Definition::new`] did not make.
///
/// Names hold no control characters, so that tabs and lines part them for certain.
fn parse(fingerprint: &str) -> Option<Parts<'_>> {
    let (head, tables) = fingerprint.split_once("\n\n")?;
    let mut head = head.lines();
    let version = head.next()?.strip_prefix('v')?.parse().ok()?;
    let types = head.map(|line| line.split_once('\t')).collect::<Option<_>>()?;
    Some(Parts { version, types, tables })
}

fn describe(column: &Column) -> String {
    let Column { name, column_type, key, nullable } = column;
    format!(
        "{name} {column_type:?}{}{}",
        if *key { " key" } else { "" },
        if *nullable { " null" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(version: u32, types: &[&'static str], table: &str) -> Definition {
        let types: Vec<_> = types
            .iter()
            .map(|name| EventType { name, version: 1, category: "cart", upcasters: Vec::new() })
            .collect();
        let table = TableDefinition::Sql { name: table.into(), create: table.into() };
        Definition::new("sales", version, &types, vec![table])
    }

    #[test]
    fn a_table_has_a_name_of_its_own() {
        definition(1, &[], "sales").check().unwrap();
        for name in ["events", "all_checkpoints", "Sales", "sales-1", "sales__2", ""] {
            let refused = definition(1, &[], name).check();
            assert!(matches!(refused, Err(Error::InvalidName { .. })), "{name}");
        }
    }

    #[test]
    fn the_code_that_built_a_generation_is_told_by_version_types_and_tables() {
        let own = definition(9, &["opened", "closed"], "sales");
        let built_by = |version, types: &[&'static str], table| {
            own.built_by(&definition(version, types, table).fingerprint)
        };
        assert_eq!(built_by(9, &["closed", "opened"], "sales"), BuiltBy::SameCode);
        assert_eq!(built_by(10, &["opened", "closed"], "sales"), BuiltBy::NewerCode);
        assert_eq!(built_by(10, &["opened"], "trade"), BuiltBy::NewerCode);
        assert_eq!(built_by(9, &["opened", "closed", "lost"], "sales"), BuiltBy::NewerCode);
        assert_eq!(built_by(8, &["opened", "closed"], "sales"), BuiltBy::OtherCode);
        assert_eq!(built_by(9, &["opened", "closed"], "trade"), BuiltBy::OtherCode);
        assert_eq!(built_by(9, &["opened", "lost"], "sales"), BuiltBy::OtherCode);
        assert_eq!(built_by(9, &["opened"], "trade"), BuiltBy::OtherCode);
        assert_eq!(own.built_by("made by somebody else"), BuiltBy::OtherCode);
        let closed = vec![("cart".to_owned(), "closed".to_owned())];
        assert_eq!(built_by(9, &["opened"], "sales"), BuiltBy::CodeWithout(closed));
    }

    #[test]
    fn a_projection_of_no_type_or_no_table_has_a_fingerprint_as_well() {
        let none = definition(1, &[], "sales");
        let one = definition(1, &["opened"], "sales");
        assert!(matches!(one.built_by(&none.fingerprint), BuiltBy::CodeWithout(_)));
        assert_eq!(none.built_by(&one.fingerprint), BuiltBy::NewerCode);
        let empty = Definition::new("sales", 1, [], Vec::new());
        assert_eq!(empty.built_by(&none.fingerprint), BuiltBy::OtherCode);
    }
}
