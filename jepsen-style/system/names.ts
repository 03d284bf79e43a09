/**
 * What a run makes outside of its own process carries a name that tells which process made it, so that the next run can tell
 * what is left over: namespaces and links `qj<pid>…` (a link's name has 15 characters at most), folders `quorate-jepsen-<pid>-…`.
 */
export const FOLDER_PREFIX = 'quorate-jepsen-';
const NAME = /^qj(\d+)[nvb]\d+$/;
/** As `mkdtemp` completes it. */
const FOLDER = new RegExp(`^${FOLDER_PREFIX}(\\d+)-[A-Za-z0-9]{6}$`);

export function nameOf(kind: 'namespace' | 'link' | 'bridge', index: number): string {
  const letter = { namespace: 'n', link: 'v', bridge: 'b' }[kind];
  return `qj${process.pid}${letter}${index}`;
}

/** The process that made the namespace, link or folder of this name; null: none of ours did. */
export function makerOf(name: string): number | null {
  const pid = (NAME.exec(name) ?? FOLDER.exec(name))?.[1];
  return pid === undefined ? null : Number(pid);
}
