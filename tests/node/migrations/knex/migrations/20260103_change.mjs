export async function up(knex) {
  await knex.schema.alterTable("book", (table) => {
    table.text("title");
  });
  await knex("book").update({ title: knex.raw("about ->> 'of'") });
  await knex.schema.alterTable("book", (table) => {
    table.text("title").notNullable().alter();
    table.unique(["title"]);
  });
}

export async function down(knex) {
  await knex.schema.alterTable("book", (table) => table.dropColumn("title"));
}
