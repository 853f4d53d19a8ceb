-- Subscriptions whose place the log keeps, under a name.

create table {schema}.subscriptions (
    name           text collate "C" primary key,
    id             uuid not null default gen_random_uuid(),
    position       bigint not null,
    event_id       uuid,
    event_position bigint not null,
    incarnation    uuid not null,
    updated_at     timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

create view {schema}.all_subscriptions as
select name, position, updated_at
from {schema}.subscriptions;
