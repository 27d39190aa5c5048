// A login through the browser's Digital Credentials API, where the browser has one. The page works without it.
"use strict";
{
  const place = document.getElementById("browser");
  const button = document.getElementById("ask-browser");
  const said = document.getElementById("browser-said");

  const refusal = async (response) => {
    const problem = await response.json().catch(() => ({}));
    const rule = problem.rule ?? "the gate answers";
    const fix = problem.fix ?? "try again";
    return new Error(`That did not work. The rule: ${rule}. What to do: ${fix}.`);
  };

  const json = async (path, options) => {
    const response = await fetch(path, { ...options, cache: "no-store" });
    if (!response.ok) throw await refusal(response);
    return response.json();
  };

  const ask = async (login) => {
    const { requests } = await json(`/vp/request/${login}/browser`);
    const { protocol, data } = await navigator.credentials.get({
      mediation: "required",
      digital: { requests },
    });
    return json(`/vp/response/${login}/browser`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ protocol, data }),
    });
  };

  if (place && "DigitalCredential" in window) {
    place.hidden = false;
    button.addEventListener("click", async () => {
      button.disabled = true;
      said.textContent = "Your browser asks your wallet…";
      try {
        const { redirect_uri: onwards } = await ask(place.dataset.login);
        said.textContent = "Your wallet has answered.";
        location.assign(onwards);
      } catch (error) {
        // What a browser says of a wallet is for developers.
        const own = error instanceof DOMException || error instanceof TypeError;
        said.textContent = own
          ? "No wallet answered. You can try again, or use another way on this page."
          : error.message;
        button.disabled = false;
      }
    });
  }
}
