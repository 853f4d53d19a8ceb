-- The projections that change in the transactions of the appends.

create table inline_projections (
    projection text primary key not null
) strict, without rowid;
