-- The log: streams, events, the guard that keeps them, and the view for people.

create table {schema}.streams (
    stream   text collate "C" primary key,
    category text collate "C" not null,
    version  bigint not null
) with (fillfactor = 80);

create index streams_category on {schema}.streams (category, stream);

create table {schema}.events (
    position       bigint generated always as identity (cache 1) primary key,
    stream         text collate "C" not null,
    category       text collate "C" not null,
    version        bigint not null,
    id             uuid not null,
    type           text collate "C" not null,
    schema_version integer not null,
    data           json not null,
    metadata       json,
    correlation_id uuid,
    causation_id   uuid,
    occurred_at    timestamptz,
    recorded_at    timestamptz not null default clock_timestamp(),
    constraint events_stream_version unique (stream, version),
    constraint events_id unique (id)
);

create index events_category on {schema}.events (category, position);
create index events_correlation on {schema}.events (correlation_id, position) where correlation_id is not null;
create index events_recorded_at on {schema}.events using brin (recorded_at);

create function {schema}.refuse_change() returns trigger
language plpgsql as $$
begin
    raise exception 'events are append-only: % is refused', lower(tg_op)
        using errcode = 'insufficient_privilege';
end
$$;

create trigger append_only
    before update or delete or truncate on {schema}.events
    for each statement execute function {schema}.refuse_change();

-- Also for sessions with session_replication_role = replica, which skip ordinary triggers.
alter table {schema}.events enable always trigger append_only;

create view {schema}.all_events as
select position,
       stream,
       category,
       version,
       id,
       type,
       schema_version,
       data,
       metadata,
       correlation_id,
       causation_id,
       coalesce(occurred_at, recorded_at) as occurred_at,
       recorded_at
from {schema}.events;
