export async function up(knex) {
  await knex.schema.createTable("author", (table) => {
    table.increments("id");
    table.string("name").notNullable();
  });
  await knex.schema.createTable("book", (table) => {
    table.increments("id");
    table.integer("author_id").references("author.id").notNullable();
    table.jsonb("about").defaultTo("{}");
  });
  await knex("author").insert(Array.from({ length: 200 }, (_, i) => ({ name: `author ${i}` })));
  await knex.raw("insert into book (author_id, about) select id, jsonb_build_object('of', name) from author");
}

export async function down(knex) {
  await knex.schema.dropTable("book");
  await knex.schema.dropTable("author");
}
