import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "@prisma/client";

const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL });
const prisma = new PrismaClient({ adapter });
const [row] = await prisma.$queryRaw`SELECT version()`;
console.log(row.version);
await prisma.$disconnect();
