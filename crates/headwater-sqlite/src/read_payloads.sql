select position, data, metadata
from events
where position in (select value from json_each($1))
