-- How often an operator had a generation leave events out, so that its status shows what a read model may lack.

alter table checkpoints add column skips integer not null default 0;

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
       held_back,
       error_code,
       skips
from checkpoints;
