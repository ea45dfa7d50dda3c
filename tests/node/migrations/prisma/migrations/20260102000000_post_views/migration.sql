-- Written by hand from here on, as people do for data.
ALTER TABLE "Post" ADD COLUMN "views" BIGINT NOT NULL DEFAULT 0;

INSERT INTO "User" ("email") SELECT 'user' || i || '@example.com' FROM generate_series(1, 100) i;
INSERT INTO "Post" ("title", "authorId") SELECT 'by ' || "email", "id" FROM "User";
UPDATE "Post" SET "views" = "id" * 2;

-- CreateIndex
CREATE INDEX "Post_authorId_idx" ON "Post"("authorId");
