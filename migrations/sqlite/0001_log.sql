-- The log: streams, events, the guard that keeps them, and the view for people.

create table streams (
    stream   text primary key not null,
    category text not null,
    version  integer not null
) strict, without rowid;

create index streams_category on streams (category, stream);

-- Ids are 16 bytes; times are microseconds since 1970.
create table events (
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

create index events_correlation on events (correlation_id, position) where correlation_id is not null;
create index events_recorded_at on events (recorded_at);

create trigger events_refuse_update before update on events
begin
    select raise(abort, 'events are append-only: update is refused');
end;

create trigger events_refuse_delete before delete on events
begin
    select raise(abort, 'events are append-only: delete is refused');
end;

-- "insert or replace" removes the row in its way without firing the trigger above.
create trigger events_refuse_replace before insert on events
when exists (select 1 from events where position = new.position)
  or exists (select 1 from events where id = new.id)
  or exists (select 1 from events where stream = new.stream and version = new.version)
begin
    select raise(abort, 'events are append-only: replace is refused');
end;

create view all_events as
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
