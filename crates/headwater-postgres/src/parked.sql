select position, event_id, stream, type, bytes, attempts, error, retry, parked_at, error_code
from {schema}.parked
where projection = $1 and generation = $2 and position > $3
order by position
limit $4
