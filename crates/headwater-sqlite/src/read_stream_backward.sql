select group_concat(packed, '')
from (select concat_ws(',',
             position, version, schema_version, recorded_at, ifnull(occurred_at, ''),
             octet_length(stream), octet_length(type), octet_length(data), ifnull(octet_length(metadata), ''),
             hex(id), ifnull(hex(correlation_id), ''), ifnull(hex(causation_id), ''),
             stream || type || iif(octet_length(data) + ifnull(octet_length(metadata), 0) <= 4096,
                                   data || ifnull(metadata, ''), '')) as packed
      from events
      where stream = $1 and version <= $2
      order by version desc
      limit $3)
