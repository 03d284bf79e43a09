/** What to do when an address cannot be listened on. */
export function bindHint(message: string): string {
  if (message.includes('EADDRINUSE')) {
    return 'another process uses the port. Stop it (`ss -ltnp` shows it) or choose another port.';
  }
  if (message.includes('EACCES')) return 'the port needs more rights. Choose one above 1023.';
  if (message.includes('EADDRNOTAVAIL') || message.includes('ENOTFOUND')) {
    return 'this machine has no such address. Use one of its own, or 0.0.0.0 for all.';
  }
  return message;
}
