// Where the gateway is.

/** The address is of no use; the message says which, and what would be. */
export class AddressError extends Error {}

/**
 * The gateway's address, without a slash at its end.
 *
 * A page that was built for one gateway keeps to it, so that no link can send what somebody types
 * elsewhere. Any other page takes it from `?target=`, else from where it was loaded.
 *
 * @throws AddressError the address is no http: or https: URL.
 */
export function gatewayAddress(page: URL, built: string | undefined): string {
  const given = built || page.searchParams.get("target") || page.origin;
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new AddressError(
      `"${given}" is no address of a gateway; it looks like http://127.0.0.1:8080`,
    );
  }
  return (url.origin + url.pathname).replace(/\/+$/, "");
}
