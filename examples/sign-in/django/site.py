"""A Django site with "Sign in with RealDID", by a stock OpenID Connect library, in one file."""

import os
import sys

from authlib.integrations.base_client import OAuthError
from authlib.integrations.django_client import OAuth
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import path

env = os.environ
settings.configure(
    SECRET_KEY=env["SESSION_SECRET"], ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    AUTHLIB_OAUTH_CLIENTS={"realdid": {
        "client_id": env["OIDC_CLIENT_ID"], "client_secret": env["OIDC_CLIENT_SECRET"]}},
)

oauth = OAuth()
oauth.register("realdid", server_metadata_url=env["OIDC_ISSUER"] + "/.well-known/openid-configuration",
               client_kwargs={"scope": "openid", "code_challenge_method": "S256"})


def login(request):
    return oauth.realdid.authorize_redirect(request, env["PUBLIC_URL"] + "/callback")


def callback(request):
    request.session["sub"] = oauth.realdid.authorize_access_token(request)["userinfo"]["sub"]
    return redirect("/")


def me(request):
    sub = request.session.get("sub")
    return JsonResponse({"sub": sub} if sub else {"error": "not_signed_in"}, status=200 if sub else 401)


def home(request):
    return HttpResponse(f"Hello, {request.session['sub']}" if "sub" in request.session else "Go to /login")


class Refused:
    """A login that was declined or does not belong to this browser is the visitor's to repeat."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, error):
        return HttpResponse("Not signed in. Start again at /login", status=400) if isinstance(error, OAuthError) else None


settings.MIDDLEWARE.append(__name__ + ".Refused")
urlpatterns = [path("", home), path("login", login), path("callback", callback), path("me", me)]

if __name__ == "__main__":
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", env["LISTEN"]])
