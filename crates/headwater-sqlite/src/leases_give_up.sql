delete from leases
where (owner = $1 or until < $2)
  and not exists (
      select 1 from json_each($3) as wanted
      where wanted.value ->> 0 = leases.projection and wanted.value ->> 1 = leases.work)
