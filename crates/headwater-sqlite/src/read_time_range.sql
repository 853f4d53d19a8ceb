select min(position), max(position)
from events
where recorded_at >= $1 and recorded_at < $2
