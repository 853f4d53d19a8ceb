-- The projections that change in the transactions of the appends. An append holds all of these rows from before it
-- draws its positions until it ends.

create table {schema}.inline_projections (
    projection text collate "C" primary key
);
