/**
 * What a run makes outside of its own process carries a name that tells which process made it, so that the next run can tell
 * what is left over: namespaces and links `qj<pid>…` (a link's name has 15 characters at most), folders `quorate-jepsen-<pid>-…`.
 */
export const FOLDER_PREFIX = 'quorate-jepsen-';
export const NAME = /^qj(\d+)[nvb]/;

export function nameOf(kind: 'namespace' | 'link' | 'bridge', index: number): string {
  const letter = { namespace: 'n', link: 'v', bridge: 'b' }[kind];
  return `qj${process.pid}${letter}${index}`;
}
