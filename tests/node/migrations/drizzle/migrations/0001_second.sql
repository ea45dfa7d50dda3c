ALTER TABLE "owner" ADD COLUMN "email" text;--> statement-breakpoint
ALTER TABLE "pet" ADD COLUMN "born" timestamp with time zone DEFAULT now();--> statement-breakpoint
CREATE UNIQUE INDEX "owner_email" ON "owner" USING btree ("email");--> statement-breakpoint
CREATE INDEX "pet_owner" ON "pet" USING btree ("owner_id");