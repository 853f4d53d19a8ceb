//! A group of appends on its way to the function `append` and back.

use std::{collections::BTreeMap, time::Duration};

use headwater_core::{Append, Appended, Error, NewEvent, Result};
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{
    connections::Statement,
    sql::{Statements, checked},
};

/// Appends, each to one or many streams, all or nothing.
pub(crate) struct Group<'a> {
    appends: Vec<&'a [Append]>,
    /// Each stream once, in the order of their names, with its index.
    streams: BTreeMap<&'a str, i32>,
}

impl<'a> Group<'a> {
    pub(crate) fn of(appends: impl IntoIterator<Item = &'a [Append]>) -> Self {
        let appends: Vec<_> = appends.into_iter().collect();
        let mut streams = BTreeMap::<&str, i32>::new();
        streams.extend(appends.iter().copied().flatten().map(|part| (part.stream.as_str(), 0)));
        streams.values_mut().zip(1..).for_each(|(index, number)| *index = number);
        Self { appends, streams }
    }

    /// What one append has for one stream.
    fn parts(&self) -> impl Iterator<Item = &'a Append> {
        self.appends.iter().copied().flatten()
    }

    fn events(&self) -> impl Iterator<Item = &'a NewEvent> {
        self.parts().flat_map(|part| &part.events)
    }

    /// The call of the function; the parameters stand in its order. A stream that another transaction
    /// holds is waited for as long as `patience`, or as the connection waits by itself.
    pub(crate) fn statement<'q>(
        &self,
        statements: &'q Statements,
        patience: Option<Duration>,
    ) -> Statement<'q>
    where
        'a: 'q,
    {
        let append_of = self.appends.iter().zip(1_i32..);
        let append_of = append_of.flat_map(|(parts, index)| parts.iter().map(move |_| index));
        let part_of = self.parts().zip(1_i32..);
        let part_of = part_of.flat_map(|(part, index)| part.events.iter().map(move |_| index));
        let ordinals = self.parts().flat_map(|part| part.events.iter().zip(1_i64..));
        let names = self.parts().flat_map(|part| part.events.iter().map(|_| part.stream.as_str()));
        let counts = self.parts().map(|part| i64::try_from(part.events.len()).unwrap_or(i64::MAX));
        let schema_version = |event: &NewEvent| i32::try_from(event.schema_version);
        let patience = patience.map(|time| i32::try_from(time.as_millis()).unwrap_or(i32::MAX));
        sqlx::query(checked(&statements.append))
            .bind(patience)
            .bind(self.streams.keys().copied().collect::<Vec<_>>())
            .bind(append_of.collect::<Vec<_>>())
            .bind(self.parts().map(|part| self.streams[part.stream.as_str()]).collect::<Vec<_>>())
            .bind(self.parts().map(|part| part.expected.to_i64()).collect::<Vec<_>>())
            .bind(counts.collect::<Vec<_>>())
            .bind(part_of.collect::<Vec<_>>())
            .bind(ordinals.map(|(_, ordinal)| ordinal).collect::<Vec<_>>())
            .bind(names.collect::<Vec<_>>())
            .bind(self.events().map(|event| event.id).collect::<Vec<_>>())
            .bind(self.events().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
            .bind(self.events().map(|e| schema_version(e).unwrap_or(i32::MAX)).collect::<Vec<_>>())
            .bind(self.events().map(|event| event.data.as_str()).collect::<Vec<_>>())
            .bind(self.events().map(|event| event.metadata.as_deref()).collect::<Vec<_>>())
            .bind(self.events().map(|event| event.correlation_id).collect::<Vec<_>>())
            .bind(self.events().map(|event| event.causation_id).collect::<Vec<_>>())
            .bind(self.events().map(occurred_at).collect::<Vec<_>>())
    }

    /// What the function reports of each append.
    pub(crate) fn outcomes(&self, row: &PgRow) -> Result<Vec<Result<Appended>>, sqlx::Error> {
        let report = Report::from_row(row)?;
        let (mut written, mut parts, mut events) = (report.positions.iter().copied(), 0, 0);
        let mut outcomes = Vec::with_capacity(self.appends.len());
        for (index, appends) in self.appends.iter().enumerate() {
            let count: usize = appends.iter().map(|part| part.events.len()).sum();
            let word = report.outcomes.get(index).map_or("nothing", String::as_str);
            outcomes.push(match word {
                "applied" => {
                    let positions: Vec<_> = written.by_ref().take(count).collect();
                    let versions =
                        appends.iter().zip(&report.bases[parts..]).flat_map(|(part, base)| {
                            let base = base.unwrap_or(0);
                            part.events.iter().zip(1_i64..).map(move |(_, ordinal)| base + ordinal)
                        });
                    let versions: Vec<_> = versions.collect();
                    Ok(Appended::from_rows(appends, &positions, &versions, false))
                }
                "repeated" => {
                    let found = |all: &[Option<i64>]| -> Vec<i64> {
                        all[events..events + count].iter().map(|n| n.unwrap_or(0)).collect()
                    };
                    let (positions, versions) =
                        (found(&report.found_positions), found(&report.found_versions));
                    Ok(Appended::from_rows(appends, &positions, &versions, true))
                }
                "conflict" => {
                    let part = report.conflicts[index].and_then(|n| usize::try_from(n).ok());
                    let actual = report.actuals[index].and_then(|n| u64::try_from(n).ok());
                    Err(appends[part.unwrap_or(1) - 1 - parts].conflict(actual.unwrap_or(0)))
                }
                "id_taken" => Err(Error::IdempotencyConflict {
                    event_id: report.taken[index].unwrap_or_default(),
                }),
                word => Err(Error::Mismatch { reason: format!("the function append says {word}") }),
            });
            parts += appends.len();
            events += count;
        }
        Ok(outcomes)
    }
}

/// The result of the function `append`.
struct Report {
    outcomes: Vec<String>,
    conflicts: Vec<Option<i32>>,
    actuals: Vec<Option<i64>>,
    taken: Vec<Option<Uuid>>,
    bases: Vec<Option<i64>>,
    positions: Vec<i64>,
    found_positions: Vec<Option<i64>>,
    found_versions: Vec<Option<i64>>,
}

impl Report {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        fn list<'r, T>(row: &'r PgRow, name: &str) -> Result<Vec<T>, sqlx::Error>
        where
            Option<Vec<T>>: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
        {
            Ok(row.try_get::<Option<Vec<T>>, _>(name)?.unwrap_or_default())
        }
        Ok(Self {
            outcomes: list(row, "outcomes")?,
            conflicts: list(row, "conflicts")?,
            actuals: list(row, "actuals")?,
            taken: list(row, "taken")?,
            bases: list(row, "bases")?,
            positions: list(row, "positions")?,
            found_positions: list(row, "found_positions")?,
            found_versions: list(row, "found_versions")?,
        })
    }
}

/// Cut to the microsecond here: the driver cuts towards the year 2000.
fn occurred_at(event: &NewEvent) -> Option<chrono::DateTime<chrono::Utc>> {
    event.occurred_at_micros().and_then(chrono::DateTime::from_timestamp_micros)
}
