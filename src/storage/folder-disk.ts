/** One folder of a disk as a disk of its own. */
import type { Disk } from '../ports/disk.ts';

export function folderDisk(disk: Disk, folder: string): Disk {
  const inside = (path: string): string => (path === '' ? folder : `${folder}/${path}`);
  return {
    locate: (path) => disk.locate?.(inside(path)) ?? inside(path),
    open: (path, options) => disk.open(inside(path), options),
    list: (path) => disk.list(inside(path)),
    makeFolder: (path) => disk.makeFolder(inside(path)),
    rename: (from, to) => disk.rename(inside(from), inside(to)),
    remove: (path) => disk.remove(inside(path)),
    syncFolder: (path) => disk.syncFolder(inside(path)),
  };
}
