// Fills an empty store, once: a store that has balances already is left as it is.
const store = process.env.STORE_URL ?? "http://store:5000";

const opening = [
  { account: "rent", amount: -900 },
  { account: "salary", amount: 3200 },
  { account: "rent", amount: -900 },
];

async function main() {
  const known = await (await fetch(`${store}/balances`)).json();
  if (Object.keys(known).length > 0) {
    console.log("the store is filled already");
    return;
  }
  const response = await fetch(`${store}/entries`, { method: "POST", body: JSON.stringify(opening) });
  if (!response.ok) throw new Error(`the store answered ${response.status}`);
  console.log(`filled the store with ${opening.length} entries`);
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
