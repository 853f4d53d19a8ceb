-- How far each generation of each projection has come, and the view for people.

create table {schema}.checkpoints (
    projection      text collate "C" not null,
    generation      integer not null,
    state           text not null check (state in ('building', 'live', 'retired')),
    position        bigint not null default 0,
    event_id        uuid,
    event_position  bigint not null default 0,
    epoch           bigint not null default 0,
    fingerprint     text not null,
    failed_position bigint,
    failed_event_id uuid,
    error           text,
    updated_at      timestamptz not null default clock_timestamp(),
    primary key (projection, generation)
) with (fillfactor = 50);

create unique index checkpoints_one_live on {schema}.checkpoints (projection) where state = 'live';
create unique index checkpoints_one_building on {schema}.checkpoints (projection) where state = 'building';

create view {schema}.all_checkpoints as
select projection,
       generation,
       state,
       position,
       error is not null as failed,
       failed_position,
       failed_event_id,
       error,
       updated_at
from {schema}.checkpoints;
