select group_concat(packed, char(1)), count(*), min(place), max(place)
from (select version as place,
             concat_ws(char(1), position, version, schema_version, recorded_at, ifnull(occurred_at, ''),
                       hex(id), hex(correlation_id), hex(causation_id), stream, type,
                       octet_length(data) + ifnull(octet_length(metadata), 0),
                       iif(octet_length(data) + ifnull(octet_length(metadata), 0) <= 4096, data, ''),
                       iif(octet_length(data) + ifnull(octet_length(metadata), 0) <= 4096, ifnull(metadata, ''), '')
             ) as packed
      from events
      where stream = $1 and version >= $2
      order by version
      limit $3)
