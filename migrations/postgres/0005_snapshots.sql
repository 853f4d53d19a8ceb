-- Snapshots: the state of an aggregate at a version, to load it faster. The table may be emptied at any time.

create table {schema}.snapshots (
    stream      text collate "C" primary key,
    version     bigint not null,
    position    bigint not null,
    event_id    uuid not null,
    fingerprint uuid not null,
    state       text not null,
    recorded_at timestamptz not null default now()
);
