-- Projections in production: who works on each, what an operator wants of it, and which log it belongs to.

create table {schema}.identity (
    only_row    boolean primary key default true check (only_row),
    incarnation uuid not null
);

insert into {schema}.identity (incarnation) values (gen_random_uuid());

alter table {schema}.checkpoints
    add column incarnation   uuid,
    add column paused        boolean not null default false,
    add column held_back     boolean not null default false,
    add column rebuild_asked uuid;

update {schema}.checkpoints set incarnation = (select incarnation from {schema}.identity);

alter table {schema}.checkpoints alter column incarnation set not null;

create table {schema}.instances (
    id      uuid primary key,
    name    text not null,
    process text not null,
    runs    uuid[] not null,
    until   timestamptz not null
) with (fillfactor = 50);

create table {schema}.leases (
    projection text collate "C" not null,
    work       text not null check (work in ('building', 'live')),
    owner      uuid not null,
    until      timestamptz not null,
    primary key (projection, work)
) with (fillfactor = 50);

create table {schema}.parked (
    projection text collate "C" not null,
    generation integer not null,
    position   bigint not null,
    event_id   uuid not null,
    stream     text collate "C" not null,
    type       text collate "C" not null,
    bytes      bigint not null,
    attempts   integer not null,
    error      text not null,
    retry      boolean not null,
    parked_at  timestamptz not null,
    primary key (projection, generation, position),
    foreign key (projection, generation) references {schema}.checkpoints on delete cascade
);

create table {schema}.operations (
    id         uuid primary key,
    action     text not null,
    projection text collate "C" not null,
    generation integer,
    detail     text,
    done_by    text not null,
    done_at    timestamptz not null default clock_timestamp()
);

create or replace view {schema}.all_checkpoints as
select projection,
       generation,
       state,
       position,
       error is not null as failed,
       failed_position,
       failed_event_id,
       error,
       updated_at,
       paused,
       held_back
from {schema}.checkpoints;

create view {schema}.all_leases as
select leases.projection,
       leases.work,
       leases.owner,
       instances.name as owner_name,
       leases.until
from {schema}.leases
left join {schema}.instances on instances.id = leases.owner;

create view {schema}.all_parked as
select projection, generation, position, event_id, stream, type, bytes, attempts, error, retry, parked_at
from {schema}.parked;

create view {schema}.all_operations as
select id, action, projection, generation, detail, done_by, done_at
from {schema}.operations;
