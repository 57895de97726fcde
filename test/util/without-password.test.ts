import { expect, test } from "vitest";
import { withoutPassword } from "../../src/util/without-password.ts";

test.each([
  ["postgresql://me:s3cret@db.example:5432/app", "postgresql://me@db.example:5432/app"],
  ["postgresql://me:p%40ss@db/app?sslmode=require", "postgresql://me@db/app?sslmode=require"],
  ["mysql://root:@localhost/app", "mysql://root@localhost/app"],
  ["postgresql:///app?host=/run&password=s3cret&user=me", "postgresql:///app?host=/run&user=me"],
  ["postgresql://db/app?sslpassword=s3cret", "postgresql://db/app"],
  ["postgresql://db/app?p%61ssword=s3cret#x", "postgresql://db/app#x"],
  ["mariadb://db/app?PWD=s3cret&ssl=1", "mariadb://db/app?ssl=1"],
  ["sqlite:data.db?token=s3cret", "sqlite:data.db"],
  ["https://:s3cret@db/app", "https://@db/app"],
])("is taken out: %s", (url, shown) => {
  expect(withoutPassword(url)).toBe(shown);
});

test.each([
  "s3@cret",
  "s3/cret",
  "s3?cret",
  "s3#cret",
  "12/s3cret",
  "12?s3cret",
  "s3:cret",
  "@@s3cret",
  "s3&cret",
])("also where it is not encoded as it ought to be: %s", (password) => {
  for (const place of ["db/app", "db:5432/app?user=me", "[::1]:5432/app"]) {
    expect(withoutPassword(`postgresql://me:${password}@${place}`)).not.toMatch(/cret|s3/);
  }
});

test.each([
  "postgresql://me@db.example:5432/app",
  "postgresql://db.example:5432/app?user=me@corp",
  "postgresql://[::1]:5432/app?user=me@corp",
  "./data/lancedb-table",
  "/data/a:b@c",
  "C:\\data",
  "",
])("has none, and stays as it is: %s", (url) => {
  expect(withoutPassword(url)).toBe(url);
});
