/**
 * Characters of one script that were executed: the length of each block times how often it ran. Ranges lie within each other or apart; each
 * counts for what no range within it covers.
 * @param {readonly { readonly ranges: readonly { readonly startOffset: number, readonly endOffset: number, readonly count: number }[] }[]} functions
 */
export function executedOf(functions) {
  const ranges = functions.flatMap((one) => one.ranges);
  ranges.sort((x, y) => x.startOffset - y.startOffset || y.endOffset - x.endOffset);
  let executed = 0;
  /** @type {{ readonly endOffset: number, readonly count: number }[]} */
  const around = [];
  for (const { startOffset, endOffset, count } of ranges) {
    while ((around.at(-1)?.endOffset ?? startOffset + 1) <= startOffset) around.pop();
    executed += (endOffset - startOffset) * (count - (around.at(-1)?.count ?? 0));
    around.push({ endOffset, count });
  }
  return executed;
}
