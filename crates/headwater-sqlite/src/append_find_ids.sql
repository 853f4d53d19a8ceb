select position, stream, version, id, type, schema_version, data, metadata, correlation_id, causation_id, occurred_at
from events
where id in (select unhex(value) from json_each($1))
