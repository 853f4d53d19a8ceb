-- The kind of what has stopped a projection, or set an event aside: the stable code of its error.

alter table checkpoints add column error_code text;
alter table parked add column error_code text not null default 'unknown';

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
       error_code
from checkpoints;

drop view all_parked;

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
           printf('.%06dZ', (parked_at % 1000000 + 1000000) % 1000000) as parked_at,
       error_code
from parked;
