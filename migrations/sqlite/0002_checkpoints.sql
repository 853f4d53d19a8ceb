-- How far each generation of each projection has come, and the view for people.

create table checkpoints (
    projection      text not null,
    generation      integer not null,
    state           text not null check (state in ('building', 'live', 'retired')),
    position        integer not null default 0,
    event_id        blob,
    event_position  integer not null default 0,
    epoch           integer not null default 0,
    fingerprint     text not null,
    failed_position integer,
    failed_event_id blob,
    error           text,
    updated_at      integer not null,
    primary key (projection, generation)
) strict, without rowid;

create unique index checkpoints_one_live on checkpoints (projection) where state = 'live';
create unique index checkpoints_one_building on checkpoints (projection) where state = 'building';

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
           printf('.%06dZ', (updated_at % 1000000 + 1000000) % 1000000) as updated_at
from checkpoints;
