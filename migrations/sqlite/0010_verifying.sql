-- A generation that is built to be compared with the one in service is none that could come into service. SQLite
-- changes no constraint: the two tables are made anew.

drop view all_checkpoints;
drop view all_leases;
drop index checkpoints_one_building;
drop index checkpoints_one_live;

alter table checkpoints rename to former_checkpoints;

create table checkpoints (
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

insert into checkpoints select * from former_checkpoints;

drop table former_checkpoints;

create unique index checkpoints_one_building on checkpoints (projection) where state = 'building';
create unique index checkpoints_one_live on checkpoints (projection) where state = 'live';
create unique index checkpoints_one_verifying on checkpoints (projection) where state = 'verifying';

alter table leases rename to former_leases;

create table leases (
    projection text not null,
    work       text not null check (work in ('building', 'live', 'verifying')),
    owner      blob not null,
    until      integer not null,
    primary key (projection, work)
) strict, without rowid;

insert into leases select * from former_leases;

drop table former_leases;

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
       held_back,
       error_code,
       skips
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
