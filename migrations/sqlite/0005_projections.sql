-- Projections in production: who works on each, what an operator wants of it, and which log it belongs to.

create table identity (
    only_row    integer primary key check (only_row = 1),
    incarnation blob not null
) strict;

insert into identity (only_row, incarnation) values (1, randomblob(16));

alter table checkpoints add column incarnation blob;
alter table checkpoints add column paused integer not null default 0 check (paused in (0, 1));
alter table checkpoints add column held_back integer not null default 0 check (held_back in (0, 1));
alter table checkpoints add column rebuild_asked blob;

update checkpoints set incarnation = (select incarnation from identity);

create table instances (
    id      blob primary key not null,
    name    text not null,
    process text not null,
    runs    blob not null,
    until   integer not null
) strict, without rowid;

create table leases (
    projection text not null,
    work       text not null check (work in ('building', 'live')),
    owner      blob not null,
    until      integer not null,
    primary key (projection, work)
) strict, without rowid;

create table parked (
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
    parked_at  integer not null,
    primary key (projection, generation, position)
) strict, without rowid;

create table operations (
    id         blob primary key not null,
    action     text not null,
    projection text not null,
    generation integer,
    detail     text,
    done_by    text not null,
    done_at    integer not null
) strict, without rowid;

drop view all_checkpoints;

create view all_checkpoints as
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
       held_back
from checkpoints;

create view all_leases as
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

create view all_parked as
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
           printf('.%06dZ', (parked_at % 1000000 + 1000000) % 1000000) as parked_at
from parked;

create view all_operations as
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
