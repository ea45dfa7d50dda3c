// Outside a transaction, as Postgres wants it.
export const config = { transaction: false };

export async function up(knex) {
  await knex.raw("create index concurrently book_author on book (author_id)");
}

export async function down(knex) {
  await knex.raw("drop index concurrently book_author");
}
