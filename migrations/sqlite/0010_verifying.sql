-- A generation that is built to be compared with the one in service is none that could come into service. SQLite
-- changes no constraint: the two tables are made anew. They are not renamed, since that resolves every view of the file,
-- and one of the user's may be broken, or over these.

create temp table former_checkpoints as select * from checkpoints;

drop table checkpoints;

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

insert into checkpoints (projection, generation, state, position, event_id, event_position, epoch, fingerprint,
                         failed_position, failed_event_id, error, updated_at, incarnation, paused, held_back,
                         rebuild_asked, error_code, skips)
select projection, generation, state, position, event_id, event_position, epoch, fingerprint,
       failed_position, failed_event_id, error, updated_at, incarnation, paused, held_back,
       rebuild_asked, error_code, skips
from former_checkpoints;

drop table former_checkpoints;

create unique index checkpoints_one_building on checkpoints (projection) where state = 'building';
create unique index checkpoints_one_live on checkpoints (projection) where state = 'live';
create unique index checkpoints_one_verifying on checkpoints (projection) where state = 'verifying';

-- Leases are for seconds: whoever works has the next one at once.
drop table leases;

create table leases (
    projection text not null,
    work       text not null check (work in ('building', 'live', 'verifying')),
    owner      blob not null,
    until      integer not null,
    primary key (projection, work)
) strict, without rowid;
