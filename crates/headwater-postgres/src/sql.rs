//! Every statement over the store's own tables, read from its file, with the schema's name in place.
//!
//! The name was checked to be a plain identifier, so that it can stand in SQL text. What comes at
//! run time is always a parameter.

use std::sync::Arc;

use headwater_core::quoted;
use sqlx::AssertSqlSafe;

macro_rules! statements {
    ($($name:ident),+ $(,)?) => {
        /// The statements of one schema.
        #[derive(Debug)]
        pub(crate) struct Statements {
            /// The schema, with its dot: `"headwater".`
            pub(crate) prefix: String,
            $(pub(crate) $name: Arc<str>,)+
        }

        impl Statements {
            /// The statements for `schema`, whose name was checked.
            pub(crate) fn new(schema: &str) -> Self {
                Self {
                    prefix: format!("{}.", quoted(schema)),
                    $($name: place(include_str!(concat!(stringify!($name), ".sql")), schema).into(),)+
                }
            }
        }
    };
}

statements! {
    append,
    checkpoint_advance,
    checkpoint_amend,
    checkpoint_create,
    checkpoint_drop,
    checkpoint_fail,
    checkpoint_lock,
    checkpoint_merge,
    checkpoint_promote,
    checkpoint_retire,
    checkpoint_split,
    checkpoints,
    examine_ceiling,
    examine_guard,
    examine_locks,
    examine_rights,
    examine_server,
    examine_sessions,
    examine_settings,
    examine_wear,
    faults_ids,
    faults_streams,
    faults_versions,
    events_behind,
    held_streams,
    inline_lock,
    inline_set,
    inline_unset,
    lease_revoke,
    leases,
    leases_keep,
    newest,
    operation_record,
    parked,
    parked_remove,
    parked_retry,
    parked_save,
    parked_split,
    publish_settled,
    read_log,
    read_log_backward,
    read_stream,
    read_stream_backward,
    snapshot,
    snapshot_save,
    stream_info,
    streams,
    subscription_acknowledge,
    subscription_open,
    subscription_remove,
    subscription_seek,
    subscriptions,
}

/// Puts the schema's name into a statement.
pub(crate) fn place(sql: &str, schema: &str) -> String {
    sql.replace("{schema}", &quoted(schema))
}

/// A statement from a file of this crate, or one whose names were all checked.
pub(crate) fn checked(sql: &Arc<str>) -> AssertSqlSafe<Arc<str>> {
    AssertSqlSafe(sql.clone())
}
