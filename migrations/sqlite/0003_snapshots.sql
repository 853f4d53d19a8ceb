-- Snapshots: the state of an aggregate at a version, to load it faster. The table may be emptied at any time.

create table snapshots (
    stream      text primary key,
    version     integer not null,
    position    integer not null,
    event_id    blob not null,
    fingerprint blob not null,
    state       text not null,
    recorded_at integer not null
) strict, without rowid;
