where correlation_id = $9
  and position > $1 and position <= $2
  and ($4 is null or category in (select value from json_each($4)))
  and ($5 is null or stream in (select value from json_each($5)))
  and ($6 is null or type in (select value from json_each($6)))
  and +recorded_at >= $7 and +recorded_at < $8
order by position desc
limit $3
