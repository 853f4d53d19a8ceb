select projection, generation, state, position, event_id, event_position, epoch, fingerprint,
       failed_position, failed_event_id, error, updated_at
from checkpoints
where projection = $1 and generation = $2
