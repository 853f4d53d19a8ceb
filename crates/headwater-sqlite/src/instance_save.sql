insert into instances (id, name, process, runs, until)
values ($1, $2, $3, $4, $5)
on conflict (id) do update set until = excluded.until
