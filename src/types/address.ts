/** Addresses of ports: `host:port`, or `[address]:port` for IPv6. */

const ADDRESS = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?):(\d{1,5})$/;
/** Hosts that gRPC reads as the scheme of a target: `unix:80` would be a socket in the file system. */
const SCHEME = /^(?:dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):/;
/** A DNS name has at most 253 characters. */
const ADDRESS_LENGTH_MAX = 260;

/** True for a host and a port from 1 to 65535. Never true for a target with a scheme (`unix:`, `dns:`). */
export function isAddress(value: string): boolean {
  if (value.length > ADDRESS_LENGTH_MAX || SCHEME.test(value)) return false;
  const port = Number(ADDRESS.exec(value)?.[1] ?? '0');
  return port >= 1 && port <= 65_535;
}
