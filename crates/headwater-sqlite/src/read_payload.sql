select data, metadata
from events
where position = $1
