select group_concat(packed, char(1)), count(*), min(place), max(place)
from (select position as place,
             concat_ws(char(1), position, version, schema_version, recorded_at, ifnull(occurred_at, ''),
                       hex(id), hex(correlation_id), hex(causation_id), stream, type,
                       octet_length(data) + ifnull(octet_length(metadata), 0),
                       iif(octet_length(data) + ifnull(octet_length(metadata), 0) <= 4096, data, ''),
                       iif(octet_length(data) + ifnull(octet_length(metadata), 0) <= 4096, ifnull(metadata, ''), '')
             ) as packed
      from events
      where position > $1 and position <= $2
        and ($4 is null or category in (select value from json_each($4)))
        and ($5 is null or stream in (select value from json_each($5)))
        and ($6 is null or type in (select value from json_each($6)))
        and +recorded_at >= $7 and +recorded_at < $8
      order by position desc
      limit $3)
