-- The log and the read models of a service that has no framework. Several processes make it at once.
select pg_advisory_xact_lock(1);

create schema if not exists by_hand;

-- The columns of Headwater, so that a reader gets the same; json and not jsonb, which is slower.
create table if not exists by_hand.events (
    position       bigint generated always as identity primary key,
    stream         text not null,
    version        bigint not null,
    id             uuid not null unique,
    type           text not null,
    schema_version integer not null default 1,
    data           json not null,
    metadata       json,
    correlation_id uuid,
    causation_id   uuid,
    occurred_at    timestamptz,
    recorded_at    timestamptz not null default now(),
    unique (stream, version)
);

create table if not exists by_hand.checkpoints (
    name     text primary key,
    position bigint not null
);

create table if not exists by_hand.customer_totals (
    key    text primary key,
    pieces bigint not null,
    value  bigint not null
);

create table if not exists by_hand.product_totals (like by_hand.customer_totals including all);
create table if not exists by_hand.day_totals (like by_hand.customer_totals including all);
create table if not exists by_hand.cart_totals (like by_hand.customer_totals including all);
