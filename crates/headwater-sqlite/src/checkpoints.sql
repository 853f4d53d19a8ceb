select projection, generation, state, position, event_id, event_position, epoch, fingerprint,
       failed_position, failed_event_id, error, updated_at, paused, held_back, rebuild_asked,
       incarnation = (select incarnation from identity) as of_this_log,
       (select count(*) from parked
        where parked.projection = checkpoints.projection and parked.generation = checkpoints.generation) as parked
from checkpoints
order by projection, generation
