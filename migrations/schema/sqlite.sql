-- The schema that the migrations result in. Not to be edited, and never run: it is written by
--     HEADWATER_BLESS=1 cargo test --workspace --test schema_dump

CREATE TABLE checkpoints (
    projection      text not null,
    generation      integer not null,
    state           text not null check (state in ('building', 'live', 'retired', 'verifying')),
    position        integer not null default 0,
    event_id        blob,
    event_position  integer not null default 0,
    epoch           integer not null default 0,
    fingerprint     text not null,
    failed_position integer,
    failed_event_id blob,
    error           text,
    updated_at      integer not null,
    incarnation     blob,
    paused          integer not null default 0 check (paused in (0, 1)),
    held_back       integer not null default 0 check (held_back in (0, 1)),
    rebuild_asked   blob,
    error_code      text,
    skips           integer not null default 0,
    primary key (projection, generation)
) strict, without rowid;

CREATE TABLE events (
    position       integer primary key autoincrement,
    stream         text not null,
    category       text not null,
    version        integer not null,
    id             blob not null unique,
    type           text not null,
    schema_version integer not null,
    data           text not null,
    metadata       text,
    correlation_id blob,
    causation_id   blob,
    occurred_at    integer,
    recorded_at    integer not null,
    unique (stream, version)
) strict;

CREATE TABLE identity (
    only_row    integer primary key check (only_row = 1),
    incarnation blob not null
) strict;

CREATE TABLE inline_projections (
    projection text primary key not null
) strict, without rowid;

CREATE TABLE instances (
    id      blob primary key not null,
    name    text not null,
    process text not null,
    runs    blob not null,
    until   integer not null
) strict, without rowid;

CREATE TABLE leases (
    projection text not null,
    work       text not null check (work in ('building', 'live', 'verifying')),
    owner      blob not null,
    until      integer not null,
    primary key (projection, work)
) strict, without rowid;

CREATE TABLE migrations (
    number     integer primary key not null,
    name       text not null,
    applied_at integer not null
) strict;

CREATE TABLE operations (
    id         blob primary key not null,
    action     text not null,
    projection text not null,
    generation integer,
    detail     text,
    done_by    text not null,
    done_at    integer not null
) strict, without rowid;

CREATE TABLE parked (
    projection text not null,
    generation integer not null,
    position   integer not null,
    event_id   blob not null,
    stream     text not null,
    type       text not null,
    bytes      integer not null,
    attempts   integer not null,
    error      text not null,
    retry      integer not null check (retry in (0, 1)),
    parked_at  integer not null, error_code text not null default 'unknown',
    primary key (projection, generation, position)
) strict, without rowid;

CREATE TABLE snapshots (
    stream      text primary key,
    version     integer not null,
    position    integer not null,
    event_id    blob not null,
    fingerprint blob not null,
    state       text not null,
    recorded_at integer not null
) strict, without rowid;

CREATE TABLE streams (
    stream   text primary key not null,
    version  integer not null
) strict, without rowid;

CREATE TABLE subscriptions (
    name           text primary key not null,
    id             blob not null default (randomblob(16)),
    position       integer not null,
    event_id       blob,
    event_position integer not null,
    incarnation    blob not null,
    updated_at     integer not null
) strict, without rowid;

CREATE UNIQUE INDEX checkpoints_one_building on checkpoints (projection) where state = 'building';

CREATE UNIQUE INDEX checkpoints_one_live on checkpoints (projection) where state = 'live';

CREATE UNIQUE INDEX checkpoints_one_verifying on checkpoints (projection) where state = 'verifying';

CREATE INDEX events_correlation on events (correlation_id, position) where correlation_id is not null;

CREATE INDEX events_recorded_at on events (recorded_at);

CREATE TRIGGER events_refuse_delete before delete on events
begin
    select raise(abort, 'events are append-only: delete is refused');
end;

CREATE TRIGGER events_refuse_replace before insert on events
when exists (select 1 from events where position = new.position)
  or exists (select 1 from events where id = new.id)
  or exists (select 1 from events where stream = new.stream and version = new.version)
begin
    select raise(abort, 'events are append-only: replace is refused');
end;

CREATE TRIGGER events_refuse_update before update on events
begin
    select raise(abort, 'events are append-only: update is refused');
end;

CREATE VIEW all_checkpoints as
select projection,
       generation,
       state,
       position,
       error is not null as failed,
       failed_position,
       iif(failed_event_id is null, null,
           lower(substr(hex(failed_event_id), 1, 8) || '-' || substr(hex(failed_event_id), 9, 4) || '-' ||
             substr(hex(failed_event_id), 13, 4) || '-' || substr(hex(failed_event_id), 17, 4) || '-' ||
             substr(hex(failed_event_id), 21))) as failed_event_id,
       error,
       strftime('%Y-%m-%dT%H:%M:%S', updated_at / 1000000 - (updated_at % 1000000 < 0), 'unixepoch') ||
           printf('.%06dZ', (updated_at % 1000000 + 1000000) % 1000000) as updated_at,
       paused,
       held_back,
       error_code,
       skips
from checkpoints;

CREATE VIEW all_events as
select position,
       stream,
       category,
       version,
       lower(substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-' || substr(hex(id), 13, 4) || '-' ||
             substr(hex(id), 17, 4) || '-' || substr(hex(id), 21)) as id,
       type,
       schema_version,
       data,
       metadata,
       iif(correlation_id is null, null,
           lower(substr(hex(correlation_id), 1, 8) || '-' || substr(hex(correlation_id), 9, 4) || '-' ||
                 substr(hex(correlation_id), 13, 4) || '-' || substr(hex(correlation_id), 17, 4) || '-' ||
                 substr(hex(correlation_id), 21))) as correlation_id,
       iif(causation_id is null, null,
           lower(substr(hex(causation_id), 1, 8) || '-' || substr(hex(causation_id), 9, 4) || '-' ||
                 substr(hex(causation_id), 13, 4) || '-' || substr(hex(causation_id), 17, 4) || '-' ||
                 substr(hex(causation_id), 21))) as causation_id,
       strftime('%Y-%m-%dT%H:%M:%S', coalesce(occurred_at, recorded_at) / 1000000 - (coalesce(occurred_at, recorded_at) % 1000000 < 0), 'unixepoch') ||
           printf('.%06dZ', (coalesce(occurred_at, recorded_at) % 1000000 + 1000000) % 1000000) as occurred_at,
       strftime('%Y-%m-%dT%H:%M:%S', recorded_at / 1000000 - (recorded_at % 1000000 < 0), 'unixepoch') ||
           printf('.%06dZ', (recorded_at % 1000000 + 1000000) % 1000000) as recorded_at
from events;

CREATE VIEW all_leases as
select leases.projection,
       leases.work,
       lower(substr(hex(leases.owner), 1, 8) || '-' || substr(hex(leases.owner), 9, 4) || '-' ||
             substr(hex(leases.owner), 13, 4) || '-' || substr(hex(leases.owner), 17, 4) || '-' ||
             substr(hex(leases.owner), 21)) as owner,
       instances.name as owner_name,
       strftime('%Y-%m-%dT%H:%M:%S', leases.until / 1000000 - (leases.until % 1000000 < 0), 'unixepoch') ||
           printf('.%06dZ', (leases.until % 1000000 + 1000000) % 1000000) as until
from leases
left join instances on instances.id = leases.owner;

CREATE VIEW all_operations as
select lower(substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-' ||
             substr(hex(id), 13, 4) || '-' || substr(hex(id), 17, 4) || '-' ||
             substr(hex(id), 21)) as id,
       action,
       projection,
       generation,
       detail,
       done_by,
       strftime('%Y-%m-%dT%H:%M:%S', done_at / 1000000 - (done_at % 1000000 < 0), 'unixepoch') ||
           printf('.%06dZ', (done_at % 1000000 + 1000000) % 1000000) as done_at
from operations;

CREATE VIEW all_parked as
select projection,
       generation,
       position,
       lower(substr(hex(event_id), 1, 8) || '-' || substr(hex(event_id), 9, 4) || '-' ||
             substr(hex(event_id), 13, 4) || '-' || substr(hex(event_id), 17, 4) || '-' ||
             substr(hex(event_id), 21)) as event_id,
       stream,
       type,
       bytes,
       attempts,
       error,
       retry,
       strftime('%Y-%m-%dT%H:%M:%S', parked_at / 1000000 - (parked_at % 1000000 < 0), 'unixepoch') ||
           printf('.%06dZ', (parked_at % 1000000 + 1000000) % 1000000) as parked_at,
       error_code
from parked;

CREATE VIEW all_subscriptions as
select name,
       position,
       strftime('%Y-%m-%dT%H:%M:%S', updated_at / 1000000 - (updated_at % 1000000 < 0), 'unixepoch') ||
           printf('.%06dZ', (updated_at % 1000000 + 1000000) % 1000000) as updated_at
from subscriptions;
